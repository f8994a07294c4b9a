"""The kinds of target: webhook, command, DICOM peer, folder; and what bounds each of them."""
