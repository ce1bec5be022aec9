"""Often used repositories of the Hub: what kind of model each has, and which files and keys."""

from dataclasses import dataclass, field

BERT = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
DISTILBERT = dict(dim=32, n_layers=2, n_heads=4, hidden_dim=64)
VIT = dict(BERT, image_size=64, patch_size=16)
# What configurations of the time of BERT's first release have besides what its class knows.
POOLER_KEYS = {
    "directionality": "bidi",
    "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12,
    "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform",
}


@dataclass
class Repository:
    """A repository: its name, its task, and how it is made small."""

    name: str
    task: str
    model: str
    config: dict
    # Files of the tokenizer: "tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model".
    tokenizer: list = field(default_factory=list)
    weights: list = field(default_factory=lambda: ["model.safetensors"])
    # Modules of sentence-transformers after the Transformer.
    sentence: list = field(default_factory=list)
    sentence_files: dict = field(default_factory=dict)
    # Keys of config.json that are added, and those that stay of it; all where there are none.
    added: dict = field(default_factory=dict)
    kept: list = field(default_factory=list)
    old_names: bool = False
    tokenizer_config: dict = field(default_factory=dict)
    preprocessor: dict = field(default_factory=dict)
    lower: bool = True


def pool(mode):
    """A pooling module as sentence-transformers before 5.4 writes it."""
    flags = ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens"]
    return ("Pooling", {"word_embedding_dimension": 32, **{f"pooling_mode_{flag}": flag == mode for flag in flags}})


MEAN, FIRST = pool("mean_tokens"), pool("cls_token")
NORMALIZE = ("Normalize", None)
WORDPIECE = ["tokenizer.json", "vocab.txt"]
UNIGRAM = ["tokenizer.json", "sentencepiece.bpe.model"]
BPE = ["tokenizer.json", "vocab.json"]
BOTH = ["model.safetensors", "pytorch_model.bin"]
BIN = ["pytorch_model.bin"]
XLM_R = dict(BERT, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1)
E5 = {"sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": False}}
BGE = {"sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": True}}


def limit(tokens):
    """`sentence_bert_config.json` with this many tokens."""
    return {"sentence_bert_config.json": {"max_seq_length": tokens, "do_lower_case": False}}


def prompts(query):
    """`config_sentence_transformers.json` with a prompt that is not the default."""
    return {"config_sentence_transformers.json": {"prompts": {"query": query}, "default_prompt_name": None}}


def embedding(name, model, config, tokenizer, sentence, files, **options):
    """A repository of sentence-transformers."""
    return Repository(
        name, "sentence-embedding", model, config, tokenizer, sentence=sentence, sentence_files=files, **options
    )


def labels(*names):
    """Names of classes as keys of a configuration."""
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def image_processor(size, mean=0.5):
    """`preprocessor_config.json` of a Vision Transformer."""
    steps = {"do_normalize": True, "do_rescale": True, "do_resize": True, "resample": 2, "rescale_factor": 1 / 255}
    return {
        **steps,
        "image_mean": [mean] * 3,
        "image_std": [0.5] * 3,
        "image_processor_type": "ViTImageProcessor",
        "size": size,
    }


SMALL_SIZE = {"height": 64, "width": 64}
# Timm's ResNets in small.
RESNET50 = dict(layers=[1, 1, 1, 1], channels=[8, 8, 8, 8])
RESNET18 = dict(layers=[1, 1, 1, 1], channels=[8, 8, 16, 16])
CONLL = ["O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]

REPOSITORIES = [
    embedding(
        "sentence-transformers/all-MiniLM-L6-v2", "Bert", BERT, WORDPIECE, [MEAN, NORMALIZE], limit(256), weights=BOTH
    ),
    embedding(
        "sentence-transformers/all-mpnet-base-v2",
        "MPNet",
        dict(BERT, max_position_embeddings=514),
        WORDPIECE,
        [MEAN, NORMALIZE],
        limit(384),
        weights=BOTH,
    ),
    embedding(
        "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
        "Bert",
        BERT,
        UNIGRAM,
        [MEAN],
        limit(128),
        weights=BOTH,
    ),
    embedding(
        "sentence-transformers/all-MiniLM-L12-v2", "Bert", BERT, WORDPIECE, [MEAN, NORMALIZE], limit(128), weights=BOTH
    ),
    embedding(
        "sentence-transformers/paraphrase-multilingual-mpnet-base-v2",
        "XLMRoberta",
        XLM_R,
        UNIGRAM,
        [MEAN],
        limit(128),
        weights=BOTH,
    ),
    embedding(
        "sentence-transformers/multi-qa-mpnet-base-dot-v1",
        "MPNet",
        dict(BERT, max_position_embeddings=514),
        WORDPIECE,
        [FIRST],
        limit(512),
        weights=BOTH,
    ),
    embedding(
        "sentence-transformers/LaBSE",
        "Bert",
        BERT,
        WORDPIECE,
        [FIRST, ("Dense", 32), NORMALIZE],
        limit(256),
        weights=BOTH,
        added=POOLER_KEYS,
        lower=False,
    ),
    embedding(
        "sentence-transformers/distiluse-base-multilingual-cased-v2",
        "DistilBert",
        DISTILBERT,
        WORDPIECE,
        [MEAN, ("Dense", 16)],
        limit(128),
        weights=BOTH,
        lower=False,
    ),
    embedding("BAAI/bge-small-en-v1.5", "Bert", BERT, WORDPIECE, [FIRST, NORMALIZE], BGE, weights=BOTH),
    embedding("BAAI/bge-base-en-v1.5", "Bert", BERT, WORDPIECE, [FIRST, NORMALIZE], BGE, weights=BOTH),
    embedding("BAAI/bge-large-en-v1.5", "Bert", BERT, WORDPIECE, [FIRST, NORMALIZE], BGE, weights=BOTH),
    embedding(
        "BAAI/bge-m3",
        "XLMRoberta",
        dict(XLM_R, max_position_embeddings=8194),
        UNIGRAM,
        [FIRST, NORMALIZE],
        limit(8192),
        weights=BIN,
    ),
    embedding("intfloat/multilingual-e5-large", "XLMRoberta", XLM_R, UNIGRAM, [MEAN, NORMALIZE], E5, weights=BOTH),
    embedding(
        "intfloat/multilingual-e5-small",
        "Bert",
        BERT,
        UNIGRAM,
        [MEAN, NORMALIZE],
        E5,
        weights=BOTH,
        added={"tokenizer_class": "XLMRobertaTokenizer"},
    ),
    embedding(
        "mixedbread-ai/mxbai-embed-large-v1",
        "Bert",
        BERT,
        WORDPIECE,
        [FIRST],
        {**limit(512), **prompts("Represent this sentence: ")},
    ),
    embedding("thenlper/gte-large", "Bert", BERT, WORDPIECE, [MEAN, NORMALIZE], limit(512), weights=BOTH),
    embedding(
        "Snowflake/snowflake-arctic-embed-l-v2.0",
        "XLMRoberta",
        dict(XLM_R, max_position_embeddings=8194),
        UNIGRAM,
        [FIRST, NORMALIZE],
        {**limit(8192), **prompts("query: ")},
    ),
    Repository(
        "cross-encoder/ms-marco-MiniLM-L6-v2",
        "text-classification",
        "Bert",
        dict(BERT, **labels("LABEL_0")),
        WORDPIECE,
        BOTH,
        added={"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "4.1.0.dev0"}},
    ),
    Repository(
        "BAAI/bge-reranker-v2-m3",
        "text-classification",
        "XLMRoberta",
        dict(XLM_R, max_position_embeddings=8194, **labels("LABEL_0")),
        UNIGRAM,
    ),
    Repository("google-bert/bert-base-uncased", "fill-mask", "Bert", BERT, WORDPIECE, BOTH, old_names=True),
    Repository("google-bert/bert-base-cased", "fill-mask", "Bert", BERT, WORDPIECE, BOTH, old_names=True, lower=False),
    Repository(
        "google-bert/bert-base-multilingual-cased",
        "fill-mask",
        "Bert",
        BERT,
        WORDPIECE,
        BOTH,
        added=POOLER_KEYS,
        old_names=True,
        lower=False,
    ),
    Repository(
        "distilbert/distilbert-base-uncased",
        "fill-mask",
        "DistilBert",
        DISTILBERT,
        WORDPIECE,
        BOTH,
        added={"tie_weights_": True},
    ),
    Repository("FacebookAI/roberta-base", "fill-mask", "Roberta", XLM_R, BPE, BOTH),
    Repository("FacebookAI/roberta-large", "fill-mask", "Roberta", XLM_R, BPE, BOTH),
    Repository("FacebookAI/xlm-roberta-base", "fill-mask", "XLMRoberta", XLM_R, UNIGRAM, BOTH),
    Repository("FacebookAI/xlm-roberta-large", "fill-mask", "XLMRoberta", XLM_R, UNIGRAM, BOTH),
    Repository(
        "google/electra-base-discriminator",
        "feature-extraction",
        "Electra",
        dict(BERT, embedding_size=16),
        WORDPIECE,
        BIN,
    ),
    Repository(
        "emilyalsentzer/Bio_ClinicalBERT",
        "fill-mask",
        "Bert",
        BERT,
        ["vocab.txt"],
        BIN,
        kept=[
            "hidden_act",
            "hidden_size",
            "initializer_range",
            "intermediate_size",
            "max_position_embeddings",
            "model_type",
            "num_attention_heads",
            "num_hidden_layers",
            "type_vocab_size",
            "vocab_size",
        ],
        lower=False,
    ),
    Repository(
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english",
        "text-classification",
        "DistilBert",
        dict(DISTILBERT, **labels("NEGATIVE", "POSITIVE")),
        ["vocab.txt"],
        tokenizer_config={"do_lower_case": True, "model_max_length": 512},
    ),
    Repository(
        "cardiffnlp/twitter-roberta-base-sentiment-latest",
        "text-classification",
        "Roberta",
        dict(XLM_R, **labels("negative", "neutral", "positive")),
        ["vocab.json"],
        BIN,
    ),
    Repository(
        "ProsusAI/finbert",
        "text-classification",
        "Bert",
        dict(BERT, **labels("positive", "negative", "neutral")),
        ["vocab.txt"],
        BIN,
        tokenizer_config={
            "do_lower_case": True,
            "unk_token": "[UNK]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
        },
    ),
    Repository(
        "nlptown/bert-base-multilingual-uncased-sentiment",
        "text-classification",
        "Bert",
        dict(BERT, **labels("1 star", "2 stars", "3 stars", "4 stars", "5 stars")),
        ["vocab.txt"],
        BOTH,
        added={**POOLER_KEYS, "_num_labels": 5, "finetuning_task": "sentiment-analysis"},
        tokenizer_config={"do_lower_case": True},
    ),
    Repository(
        "SamLowe/roberta-base-go_emotions",
        "text-classification",
        "Roberta",
        dict(XLM_R, problem_type="multi_label_classification", **labels("admiration", "amusement", "anger", "neutral")),
        BPE,
    ),
    Repository(
        "dslim/bert-base-NER",
        "token-classification",
        "Bert",
        dict(BERT, **labels(*CONLL)),
        ["vocab.txt"],
        BOTH,
        added={"_num_labels": 9},
        tokenizer_config={"do_lower_case": False, "max_len": 512},
        lower=False,
    ),
    Repository(
        "FacebookAI/xlm-roberta-large-finetuned-conll03-english",
        "token-classification",
        "XLMRoberta",
        dict(XLM_R, **labels(*CONLL[1:])),
        UNIGRAM,
        BOTH,
        added={"_num_labels": 8},
    ),
    Repository(
        "deepset/roberta-base-squad2",
        "question-answering",
        "Roberta",
        XLM_R,
        ["vocab.json"],
        BOTH,
        added={"language": "english", "name": "Roberta"},
        tokenizer_config={"do_lower_case": False, "model_max_length": 512},
    ),
    Repository(
        "Falconsai/nsfw_image_detection",
        "image-classification",
        "ViT",
        dict(VIT, **labels("normal", "nsfw")),
        preprocessor=image_processor(SMALL_SIZE),
        weights=BOTH,
    ),
    Repository(
        "dima806/fairface_age_image_detection",
        "image-classification",
        "ViT",
        dict(VIT, problem_type="single_label_classification", **labels("0-2", "3-9", "10-19")),
        preprocessor={**image_processor(SMALL_SIZE), "do_convert_rgb": None},
    ),
    Repository(
        "google/vit-base-patch16-224",
        "image-classification",
        "ViT",
        dict(VIT, **labels("tench", "goldfish")),
        preprocessor={
            "do_normalize": True,
            "do_resize": True,
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
            "size": 64,
        },
        weights=BOTH,
    ),
    Repository(
        "google/vit-base-patch16-224-in21k",
        "image-feature-extraction",
        "ViT",
        VIT,
        preprocessor={
            "do_normalize": True,
            "do_resize": True,
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
            "size": 64,
        },
        weights=BOTH,
    ),
    Repository(
        "timm/resnet50.a1_in1k",
        "image-classification",
        "timm",
        {"architecture": "resnet50", "arguments": RESNET50},
        weights=BOTH,
    ),
    Repository(
        "timm/resnet18.a1_in1k",
        "image-classification",
        "timm",
        {"architecture": "resnet18", "arguments": RESNET18},
        weights=BOTH,
    ),
]
