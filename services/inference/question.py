"""A list that is asked for: of one model, for one user, knowing what the user did and what may not be shown."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b

import numpy as np

from services.domain.errors import InvalidRequest, PageExpired
from services.domain.history_input import HistoryRows
from services.domain.ids import ItemId, UserId
from services.domain.interactions import UserHistory
from services.domain.pages import DIGEST_BYTES, Page
from services.domain.recommendations import Source
from services.domain.wishes import NO_WISHES, Wishes, fingerprint
from services.inference.availability import Unavailable
from services.inference.cache_key import cache_key
from services.inference.cached_answer import decode_answer, encode_answer
from services.inference.excluded import NO_ROWS, Excluded, Rows, Vector
from services.inference.facts import NOT_ASKED, KnownFacts
from services.inference.filters import flagged
from services.inference.rules import Required
from services.inference.scorers import Asked
from services.inference.serving_model import ServingModel


@dataclass(frozen=True)
class Question:
    """Whoever asks, a request or a model that answers ahead of them, gets the same answer under the same key."""

    model: ServingModel
    unavailable: Unavailable
    user_id: UserId
    history: UserHistory
    k: int
    unwanted: frozenset[ItemId] = frozenset()
    """Left out whatever the user did."""
    may_repeat: bool = False
    """Whether what the user consumed may come again."""
    wishes: Wishes = NO_WISHES
    facts: KnownFacts = NOT_ASKED
    """What is known of the model's items, where there are wishes."""
    page: Page | None = None

    @cached_property
    def history_rows(self) -> HistoryRows:
        return self.model.history_rows(self.history.entries)

    @property
    def is_personal(self) -> bool:
        """Whether the model knows anything of the user; if not, the popular items are the answer."""
        return self.model.scorer.knows(self.history_rows)

    @property
    def is_plain(self) -> bool:
        """Whether user and length say all about it, so that it can be asked again of another model."""
        return bool(self.user_id) and not self.unwanted and not self.may_repeat and self.wishes is NO_WISHES

    def knowing(self, history: UserHistory, shown: frozenset[ItemId] = frozenset()) -> "Question":
        """The same, now that it has been read what the user did, and which of what they were shown is not wanted."""
        return replace(self, history=history, unwanted=self.unwanted | shown)

    @property
    def excluded(self) -> Excluded:
        """What may not be in the answer, or comes into it in another way than as a candidate."""
        seen = frozenset[ItemId]() if self.may_repeat else self.history.consumed
        if self.wishes is NO_WISHES:
            return self.unavailable.and_rows(self.model.known_rows(seen | self.unwanted))
        wishes = self.wishes
        others = seen | self.unwanted | frozenset(wishes.context) | {each.item_id for each in wishes.must_include}
        return Excluded.of(self.model.known_rows(others), *flagged(wishes.filter, self.facts, self.unavailable))

    @property
    def asks_facts(self) -> bool:
        """Whether what is known of the items decides the answer."""
        return self.wishes.asks_facts or (self.wishes.diversity > 0 and self.model.index.dim == 0)

    @property
    def is_catalog_known(self) -> bool:
        """False while the catalog has not said yet what decides the answer."""
        return self.unavailable.is_known and (not self.asks_facts or self.facts.is_known)

    @property
    def catalog_version(self) -> str:
        """A fingerprint of all in the catalog that decides the answer."""
        if not self.asks_facts:
            return self.unavailable.version
        return f"{self.unavailable.version}.{self.facts.version}"

    @property
    def offset(self) -> int:
        return 0 if self.page is None else self.page.offset

    def required(self) -> Required:
        """What must be in the list, to be gone through once."""
        return Required(self.wishes.must_include, self.model, self.unavailable)

    @property
    def exclusions(self) -> str:
        """A fingerprint of what is left out beside the consumed, by the rows of this model; empty: nothing."""
        rows = np.sort(self.model.known_rows(self.unwanted)) if self.unwanted else NO_ROWS
        if len(rows) == 0 and not self.may_repeat:
            return ""
        return f"{self.may_repeat:d}{blake2b(rows.tobytes(), digest_size=16).hexdigest()}"

    @property
    def wanted(self) -> str:
        """A fingerprint of all that is wanted beside user and length; empty: nothing."""
        if self.wishes is NO_WISHES:
            return self.exclusions
        return f"{self.exclusions}/{self.wishes.fingerprint}/{self.page.token if self.page and self.offset else ''}"

    @cached_property
    def key(self) -> bytes:
        """Where the answer is cached, whatever the history of a user whose name is known."""
        return cache_key(
            model_version=self.model.version,
            method="Recommend",
            user_id=self.user_id,
            k=self.k,
            visitor="" if self.user_id else self.history.version,
            catalog_version=self.catalog_version,
            exclusions=self.wanted,
        )

    def check_page(self) -> None:
        """Raises InvalidRequest for a page that belongs to another request, PageExpired for one of another list."""
        if self.page is None or not self.page.offset:
            return
        if self.page.request != self._request_digest():
            raise InvalidRequest("page_token", "belongs to another request: the user or the wishes differ")
        if self.page.state != self._state_digest():
            raise PageExpired(
                "The list is another one by now, since the model, the history, the catalog or what is left out has "
                "changed; ask for the first page again."
            )

    def next_page(self) -> Page:
        """The page after this one, of the same list."""
        first_asked_us = 0 if self.page is None else self.page.first_asked_us
        return Page(self.offset + self.k, first_asked_us, self._request_digest(), self._state_digest())

    def _request_digest(self) -> bytes:
        return _digest((self.user_id, self.wishes))

    def _state_digest(self) -> bytes:
        return _digest((self.model.version, self.history.version, self.catalog_version, self.exclusions))

    @property
    def asked(self) -> Asked:
        """The question as the scorer takes it."""
        return Asked(self.history_rows, self.k, self.excluded)

    def worked_out(self) -> tuple[Rows, Vector]:
        """The rows of the k best items, and their scores; blocks. Raises BundleBroken when the model fails on this."""
        return self.model.scorer.best(*self.asked)

    def popular(self) -> tuple[Rows, Vector]:
        """The same for a user of whom the model knows nothing."""
        return self.model.index.popular(self.k, self.excluded)

    def answered(self) -> tuple[Rows, Vector]:
        """One or the other; blocks. Raises BundleBroken."""
        return self.worked_out() if self.is_personal else self.popular()

    def rows_to_show(self, item_ids: Iterable[ItemId]) -> Rows:
        """The rows of those items that the model knows and that may be shown now."""
        return self.unavailable.without(self.model.known_rows(item_ids))

    def ranked(self, rows: Rows) -> tuple[Source, tuple[Rows, Vector]]:
        """These rows, each once, in the order and with the scores of the answer. Raises BundleBroken."""
        if self.is_personal:
            return Source.MODEL, self.model.scorer.ranked(self.history_rows, rows)
        return Source.POPULAR, self.model.index.ranked_by_popularity(rows)

    def encoded(self, rows: Rows, scores: Vector) -> bytes:
        """An answer as it is cached."""
        return encode_answer(self.model.version, self.history.version, rows, scores)

    def decoded(self, value: bytes) -> tuple[Rows, Vector] | None:
        """A cached answer; None when it is none to this question."""
        return decode_answer(self.model.version, self.history.version, self.model.index.num_items, value)


def _digest(value: object) -> bytes:
    return bytes.fromhex(fingerprint(value))[:DIGEST_BYTES]
