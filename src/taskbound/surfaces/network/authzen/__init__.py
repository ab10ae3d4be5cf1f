"""AuthZEN 1.0: a service asks whether somebody may do something, and acts on the answer by itself.

An evaluation is a way to spell a call of a tool (`request`), asked of the daemon as any other, and answered
in AuthZEN's words (`response`). What is a draft so far stands in `drafts` alone.
"""
