"""Where the fixtures live and how their JSON is laid out."""

import base64
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).resolve().parents[2]
TENSOR = ROOT / "packages/tensor/fixtures"
MODELS = ROOT / "packages/models/fixtures"
CHECKPOINT = ROOT / "packages/checkpoint/fixtures"


def dump(value, width=140, pad=""):
    """JSON with lists of numbers on one line, so that a diff shows which case changed and files stay small."""
    flat = json.dumps(value, ensure_ascii=False)
    is_row = isinstance(value, list) and not any(isinstance(v, (dict, list, str)) for v in value)
    if not isinstance(value, (dict, list)) or is_row or len(flat) + len(pad) <= width:
        return flat
    inner = pad + "  "
    if isinstance(value, dict):
        rows = [f"{inner}{json.dumps(k, ensure_ascii=False)}: {dump(v, width, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{pad}}}"
    return "[\n" + ",\n".join(inner + dump(v, width, inner) for v in value) + f"\n{pad}]"


def write_json(path: Path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(value) + "\n", encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == value


def f32_base64(array):
    return base64.b64encode(array.astype("<f4").tobytes()).decode()
