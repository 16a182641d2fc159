"""A search chooses for the model that the night trains, so it reads the texts that the night reads."""

from datetime import UTC, datetime
from pathlib import Path

from services.domain.ids import ItemId
from services.domain.items import Item
from services.domain.tuning import Study
from services.settings import load
from services.training.tuning.data import ends
from services.training.tuning.wiring import _Data
from tests.fakes.event_log import FakeEventLog
from tests.fakes.item_catalog import FakeItemCatalog
from tests.fakes.planted import planted_events
from tests.fakes.tiny_sentence_encoder import write_encoder


def test_trials_know_what_texts_mean_where_a_sentence_encoder_is_set(tmp_path: Path) -> None:
    write_encoder(tmp_path / "encoder", {"red": [1.0, 0.0, 0.0], "boot": [0.0, 1.0, 0.0]})
    plain = load(home=tmp_path / "home")
    train = plain.train.model_copy(update={"sentence_encoder": tmp_path / "encoder"})
    reading = plain.model_copy(update={"train": train})
    log, items = FakeEventLog(planted_events(60, 20)), FakeItemCatalog()
    items.upsert([Item(ItemId("item-3-1"), "red boot")])
    study = Study("search", "sequence", 1, 0, *ends(log.read(0).event_times_us, 0.1, 0.1), {}, datetime.now(UTC))
    contents = [_Data(settings, log, []).of(study, items).content for settings in (plain, reading)]
    assert [content.text_dim for content in contents] == [0, 3]
    assert [content.text_encoder != "" for content in contents] == [False, True]
