"""A support inbox of 120 messages, its signals, and tiny random checkpoints of several architectures."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from tutelage.distillation import Signals
from tutelage.tasks import Classify

_SUBJECTS = {
    "billing": ("invoice", "charge", "refund", "price", "payment"),
    "delivery": ("parcel", "courier", "package", "shipment", "tracking"),
    "login": ("password", "account", "code", "session", "username"),
}
_FRAMES = (
    "there is a problem with the {} since yesterday",
    "could you look into my {} please",
    "what is going on with this {} , i am waiting",
    "the {} does not work as it should",
    "{} !",
    "{} again , somebody help",
    "my colleague asks about the {}",
    "please explain the {} to me",
)
PAIRS = [
    (frame.format(subject), label)
    for label, subjects in _SUBJECTS.items()
    for subject in subjects
    for frame in _FRAMES
]
TEXTS = tuple(text for text, _ in PAIRS)
TASK = Classify(tuple(_SUBJECTS))
MULTI = Classify(TASK.labels, multi_label=True)
TRUTH = TASK.encode([label for _, label in PAIRS])

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BERT_MARKS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA_MARKS = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}


def signals(seed: int = 0) -> Signals:
    """Of PAIRS: distributions and hard labels of a teacher, human labels beside them and alone."""
    generator = np.random.default_rng(seed)
    n = len(PAIRS)
    has_gold = generator.random(n) < 0.3
    has_teacher = ~has_gold | (generator.random(n) < 0.6)
    softened = has_teacher & (generator.random(n) < 0.8)
    teacher = 0.7 * TRUTH + 0.3 * generator.dirichlet(np.ones(3), n).astype(np.float32)
    teacher = np.where(softened[:, None], teacher, TRUTH) * has_teacher[:, None]
    gold = TRUTH * has_gold[:, None]
    return Signals(TEXTS, teacher.astype(np.float32), softened, has_teacher, gold, has_gold)


def save_checkpoint(folder: Path, kind: str = "bert", *, layers: int = 3, dtype=None, **config) -> Path:
    """A random encoder of `kind` with its tokenizer, as a user would have it on disk."""
    import torch
    from transformers import AutoModel

    torch.manual_seed(11)
    model = AutoModel.from_config(_shape(kind, layers, **config))
    (model if dtype is None else model.to(dtype)).save_pretrained(folder)
    _tokenizer(kind).save_pretrained(folder)
    return folder


def save_classifier(folder: Path, labels: tuple[str, ...], **config) -> Path:
    """A random BERT with an output for each of `labels`."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(12)
    names = dict(enumerate(labels))
    shape = _shape("bert", 2, id2label=names, label2id={name: i for i, name in names.items()}, **config)
    AutoModelForSequenceClassification.from_config(shape).save_pretrained(folder)
    _tokenizer("bert").save_pretrained(folder)
    return folder


def save_writer(
    folder: Path, kind: str = "causal", *, layers: int = 2, chat_template=None, corpus=TEXTS, **config
) -> Path:
    """A random model that writes, with a byte-level tokenizer of `corpus`, as a user would have it on disk.

    `kind` is a `model_type` of transformers, or `causal` (Llama) or `seq2seq` (T5).
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    kind = {"causal": "llama", "seq2seq": "t5"}.get(kind, kind)
    ends = {
        "pad_token_id": 0,
        "eos_token_id": 1,
        "vocab_size": _byte_tokenizer(folder, corpus, chat_template),
    }
    torch.manual_seed(3)
    shape = AutoConfig.for_model(kind, **(_writer_shape(kind, layers) | ends | config))
    family = AutoModelForSeq2SeqLM if shape.is_encoder_decoder else AutoModelForCausalLM
    family.from_config(shape).save_pretrained(folder)
    return folder


def _writer_shape(kind: str, layers: int) -> dict:
    """Weights somewhat larger than usual, so that every layer shows in what comes out."""
    if kind == "t5":
        return {
            "d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": layers, "num_heads": 4,
            "decoder_start_token_id": 0, "relative_attention_num_buckets": 16, "dropout_rate": 0.0,
        }  # fmt: skip
    if kind == "bart":
        return {
            "d_model": 32, "encoder_layers": layers, "decoder_layers": layers, "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
            "max_position_embeddings": 256, "decoder_start_token_id": 1, "init_std": 0.08, "dropout": 0.0, "bos_token_id": 1,
        }  # fmt: skip
    size = {
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "initializer_range": 0.08,
    }
    if kind == "gpt2":
        return size | {
            "max_position_embeddings": 256,
            "bos_token_id": 1,
            "attn_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
        }
    return size | {"intermediate_size": 64, "max_position_embeddings": 256, "bos_token_id": None}


def _byte_tokenizer(folder: Path, corpus, chat_template) -> int:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    made = ByteLevelBPETokenizer()
    made.train_from_iterator(corpus, vocab_size=400, special_tokens=["<pad>", "</s>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made._tokenizer, pad_token="<pad>", eos_token="</s>")
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    return len(tokenizer)


def put_in_hub_cache(monkeypatch, cache: Path, name: str, checkpoint: Path, commit: str = "0" * 40) -> None:
    """Make `checkpoint` what transformers finds, without a network, under the hub name `name`."""
    repository = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(checkpoint, repository / "snapshots" / commit)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def put_code_in_hub_cache(monkeypatch, folder: Path, name: str) -> Path:
    """A hub model that wants its own code run, and a user who types `y` when asked whether to.

    The code leaves the file that is returned.
    """
    ran, model = folder / "ran", save_classifier(folder / "with code", ("a", "b"))
    classes = {f"Auto{what}": f"code.Own{what}" for what in ("Config", "Model")}
    classes["AutoModelForSequenceClassification"] = "code.OwnModel"
    (model / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": classes}))
    (model / "code.py").write_text(
        "from pathlib import Path\n"
        "from transformers import BertConfig as OwnConfig, BertModel as OwnModel\n"
        f"Path({str(ran)!r}).touch()\n"
    )
    put_in_hub_cache(monkeypatch, folder / "hub", name, model)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("builtins.input", lambda _: "y")
    return ran


def _vocabulary(kind: str) -> dict[str, int]:
    words = sorted({word for text in TEXTS for word in text.split()})
    pieces = [*_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    tokens = dict.fromkeys([*_marks(kind).values(), *words, *pieces])
    return {token: row for row, token in enumerate(tokens)}


def _marks(kind: str) -> dict[str, str]:
    return _ROBERTA_MARKS if kind in {"roberta", "mpnet", "xlm-roberta", "camembert"} else _BERT_MARKS


def _tokenizer(kind: str):
    from transformers import BertTokenizer

    marks = {f"{name}_token": token for name, token in _marks(kind).items()}
    return BertTokenizer(vocab=_vocabulary(kind), **marks)


def _shape(kind: str, layers: int, **config):
    from transformers import AutoConfig

    size = {
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    if kind == "distilbert":
        size = {"dim": 32, "n_layers": layers, "n_heads": 4, "hidden_dim": 64}
    if kind in {"electra", "albert"}:
        size["embedding_size"] = 16
    # Weights ten times BERT's own, so that every layer shows in what comes out.
    common = {"vocab_size": len(_vocabulary(kind)), "max_position_embeddings": 160, "initializer_range": 0.2}
    return AutoConfig.for_model(kind, **(common | size | config))
