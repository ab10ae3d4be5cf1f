"""The rules of the house that need nothing but the tree's files, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.house import installs, paper, reasons, shape, strangers, verdicts, words

if TYPE_CHECKING:
    from tests.house.tree import Rule

RULES: dict[str, Rule] = {
    "module-sentence": shape.module_sentence,
    "file-budget": shape.file_budget,
    "function-budget": shape.function_budget,
    "public-names": shape.public_names,
    "no-assert": shape.no_assert,
    "frozen-values": shape.frozen_values,
    "no-any": shape.no_any,
    "no-exit": shape.no_exit,
    "page-budget": shape.page_budget,
    "no-empty-names": words.no_empty_names,
    "tests-are-sentences": words.tests_are_sentences,
    "no-mocks-or-sleeps": words.no_mocks_or_sleeps,
    "error-texts": words.error_texts,
    "suppressions-have-reasons": reasons.suppressions_have_reasons,
    "settings-have-reasons": reasons.settings_have_reasons,
    "no-stray-hosts": strangers.no_stray_hosts,
    "no-machine-paths": strangers.no_machine_paths,
    "links-resolve": strangers.links_resolve,
    "lock-is-current": paper.lock_is_current,
    "npm-lock-is-current": paper.npm_lock_is_current,
    "dependencies-have-a-line": paper.dependencies_have_a_line,
    "changes-are-named": paper.changes_are_named,
    "installs-what-there-is": installs.installs_what_there_is,
    "decisions-are-listed": paper.decisions_are_listed,
    "tables-are-whole": paper.tables_are_whole,
    "scripts-run": paper.scripts_run,
    "verdicts-with-errors": verdicts.verdicts_with_errors,
}
