"""Results → reports that open in a browser, offline: one look for all of them, one file a picture."""
