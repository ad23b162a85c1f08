"""One builder a kind of shell: the app, the table, the log and the protocol of each."""
