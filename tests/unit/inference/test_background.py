import asyncio

from services.inference.background import BackgroundTasks


async def test_a_drain_waits_for_what_was_started() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0)
        done.append(True)

    tasks = BackgroundTasks(limit=2)
    assert tasks.start(work())
    await tasks.drain(timeout_s=5)
    assert done == [True]


async def test_work_beyond_the_limit_is_dropped_until_a_place_is_free() -> None:
    release = asyncio.Event()
    tasks = BackgroundTasks(limit=1)
    assert tasks.start(release.wait())
    assert not tasks.start(release.wait())
    release.set()
    await tasks.drain(timeout_s=5)
    assert tasks.start(release.wait())
    await tasks.drain(timeout_s=5)


async def test_a_drain_ends_what_does_not_end_by_itself() -> None:
    cancelled = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    tasks = BackgroundTasks(limit=1)
    tasks.start(endless())
    await tasks.drain(timeout_s=0.01)
    assert cancelled == [True]


async def test_failed_work_frees_its_place_and_disturbs_nobody() -> None:
    async def failing() -> None:
        raise ConnectionError("the cache is gone")

    tasks = BackgroundTasks(limit=1)
    tasks.start(failing())
    await tasks.drain(timeout_s=5)
    assert tasks.start(asyncio.sleep(0))
    await tasks.drain(timeout_s=5)
