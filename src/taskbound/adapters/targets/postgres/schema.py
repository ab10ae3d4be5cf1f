"""What a database has to have where kinds of credentials have a context (`core.target.postgres`, rule 2).

1. The table counts where it and its schema are the database's owner's, a superuser's or a member's of that
   owner, and no login's of ours. Whoever may make schemas could make one of this name else, and what stands
   behind its table (a trigger, a view) would run with the admin's rights.
"""

from __future__ import annotations

from typing import Final

CONTEXT: Final = """\
CREATE SCHEMA taskbound;
CREATE TABLE taskbound.contexts (
    login name NOT NULL,
    key text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (login, key)
);
REVOKE ALL ON taskbound.contexts FROM PUBLIC;
-- For policies of tables: CREATE POLICY … USING (tenant = taskbound.context('tenant')). It depends on the
-- login, which a session cannot change. A setting would not do: each session can change it.
CREATE FUNCTION taskbound.context(wanted text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS 'SELECT value FROM taskbound.contexts WHERE login = session_user AND key = wanted';
GRANT USAGE ON SCHEMA taskbound TO PUBLIC;
"""
"""Run once by the owner, who grants the admin `USAGE` on it and `INSERT, DELETE, SELECT` on the table."""
HAS_CONTEXTS: Final = """EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'taskbound' AND c.relname = 'contexts' AND c.relkind = 'r' AND NOT EXISTS (
        SELECT FROM pg_roles r JOIN pg_database d ON d.datname = current_database()
        WHERE r.oid IN (c.relowner, n.nspowner)
        AND ((r.rolname >= 'tb_' AND r.rolname < 'tb`') OR NOT pg_has_role(r.oid, d.datdba, 'MEMBER'))
    )
)"""
"""Whether the table is there, and counts (rule 1); an expression. Names are compared by their bytes (`link`,
rule 7), and a backquote is the one that comes right behind `_`."""
