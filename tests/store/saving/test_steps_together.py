"""Several real processes save steps with the functions of flax: one answer in all."""

import os

from linen_store import checkpoints

STEPS = """
from linen_store import checkpoints
from linen_store.checkpoints import save_checkpoint
from linen_store.saving.step_folder import StepFolder

def state(step):
    return {"params": {"w": put(VALUES + step, "x", "y")}, "step": step}

manager = checkpoints.AsyncManager()
for step in (1, 2, 3):
    save_checkpoint(path, state(step), step, keep=1)
    tell(sorted(os.listdir(path)))
tell(failure(lambda: save_checkpoint(path, state(2), 2)))
save_checkpoint(path, state(2), 2, overwrite=True)
tell(sorted(os.listdir(path)))
save_checkpoint(path, state(5), 5, async_manager=manager)
manager.wait_previous_save()
tell(sorted(os.listdir(path)))
tell(failure(lambda: save_checkpoint(path, state(6 + number), 6 + number)))
remove = StepFolder.remove

def refuse(folder, name):
    os.rmdir("/nowhere")

StepFolder.remove = refuse
tell(failure(lambda: save_checkpoint(path, state(7), 7)))
StepFolder.remove = remove
save_checkpoint(path, state(8), 8)
restored = checkpoints.restore_checkpoint(path, state(0))
tell([restored["step"], len(restored["params"]["w"].addressable_shards)])
"""


def test_one_answer_in_all_processes(tmp_path, workers):
    path = str(tmp_path / "steps")
    first, second = workers(STEPS, 2, path).results()
    assert first == second
    saved, refused = first[:3], first[3]
    assert saved == [[f"checkpoint_{step}"] for step in (1, 2, 3)]
    assert refused[0] == "InvalidCheckpointError"
    assert "Pass overwrite=True to replace these steps" in refused[1]
    assert first[4:6] == [["checkpoint_2"], ["checkpoint_5"]]
    assert first[6][0] == "ProcessesDisagreeError"
    kept, new = os.path.join(path, "checkpoint_5"), os.path.join(path, "checkpoint_7")
    assert first[7] == [
        "StepRemovalError",
        f"Saved {new!r}, but cannot remove {kept!r}: No such file or directory. "
        "Remove it, or let this user write its folder.",
    ]
    assert first[8] == [8, 4]
    assert checkpoints.available_steps(path) == [8]
