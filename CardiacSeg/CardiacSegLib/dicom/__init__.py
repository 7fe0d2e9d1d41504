"""What scanners write: DICOM folders sorted into series, and the short-axis cine among them as one array.

Nothing that names a patient is read from a file, nor are dates: only what says where an image lies, when in the
heartbeat it was taken, and by which kind of sequence.
"""
