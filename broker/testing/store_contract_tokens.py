"""What a store promises about tokens."""

# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.model.errors import StoreError, UnknownName
from broker.model.tokens import Scope, Token
from broker.ports import Store

TOKEN = Token(id="0a1b2c3d4e5f", user="mia", scope=Scope.SUBMIT, created_ns=5, expires_ns=9)


class TokensContract:
    """Tokens are kept with their hashes, and end once."""

    def test_a_token_is_found_with_its_hash(self, store: Store) -> None:
        store.keep_token(TOKEN, "hash")
        assert store.token(TOKEN.id) == (TOKEN, "hash")
        assert store.token("other") is None

    def test_all_are_listed_newest_first(self, store: Store) -> None:
        later = replace(TOKEN, id="f" * 12, created_ns=6, expires_ns=None, scope=Scope.ADMIN)
        for token in (TOKEN, later):
            store.keep_token(token, "hash")
        assert store.tokens() == (later, TOKEN)

    def test_it_is_revoked_once(self, store: Store) -> None:
        store.keep_token(TOKEN, "hash")
        ended = replace(TOKEN, revoked_ns=7)
        assert store.revoke_token(TOKEN.id, 7) == ended
        assert store.revoke_token(TOKEN.id, 8) == ended
        assert store.token(TOKEN.id) == (ended, "hash")
        with pytest.raises(UnknownName, match="token list"):
            store.revoke_token("other", 8)

    def test_an_id_is_given_once(self, store: Store) -> None:
        store.keep_token(TOKEN, "hash")
        with pytest.raises(StoreError):
            store.keep_token(replace(TOKEN, user="eve"), "other")
        assert store.token(TOKEN.id) == (TOKEN, "hash")
