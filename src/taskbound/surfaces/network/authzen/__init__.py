"""AuthZEN 1.0: a service asks for a decision and enforces it itself.

An evaluation spells a call of a tool (`request`), is decided like any call, and is answered in AuthZEN's form
(`response`). Draft profiles stand in `drafts` alone.
"""
