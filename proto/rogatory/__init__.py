"""The wire contract of Rogatory, one package a version."""
