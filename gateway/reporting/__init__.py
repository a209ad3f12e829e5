"""Transparency reports: what a node's records add up to, a quarter at a time, so that no case can be told from another.

In: what the store holds of requests between States, of what became of them and of their time limits. Out: figures, as a
page, as JSON and as CSV. Refuses a period that is no quarter or year, or is not over. Pure but for `folder`.

`periods` says which periods there are, `tally` counts, `released` lets out of the counts what may be told, `report`
puts that in words, `page`, `charts` and `tables` show it, `folder` publishes it. What is promised is in docs/report.md.
"""
