"""The flow of funds that transaction records tell of, as a table of pairs and as pictures.

`graph` adds up who paid whom; `layout` says where each stands in a picture; `svg` draws it.
"""
