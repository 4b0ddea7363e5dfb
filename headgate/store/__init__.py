"""The store: journal, state, blocks and queries under one state root with one writer."""
