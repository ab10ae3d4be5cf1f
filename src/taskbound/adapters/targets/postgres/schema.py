"""What a database has to have where kinds of credentials have a context (`core.target.postgres`, rule 2)."""

from __future__ import annotations

from typing import Final

__all__ = ["CONTEXT"]

CONTEXT: Final = """\
CREATE SCHEMA taskbound;
CREATE TABLE taskbound.contexts (
    login name NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (login, key)
);
REVOKE ALL ON taskbound.contexts FROM PUBLIC;
-- What a policy of a table asks: CREATE POLICY … USING (tenant = taskbound.context('tenant')). It goes by who
-- logged in, which nothing in a session changes, and by no setting, which whoever is logged in can set.
CREATE FUNCTION taskbound.context(wanted text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS 'SELECT value FROM taskbound.contexts WHERE login = session_user AND key = wanted';
GRANT USAGE ON SCHEMA taskbound TO PUBLIC;
"""
"""Run once by the owner, who grants the admin `USAGE` on it and `INSERT, DELETE, SELECT` on the table."""
