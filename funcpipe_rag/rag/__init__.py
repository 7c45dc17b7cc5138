"""The running example: documents, made regular, cut, indexed, searched and answered from.

Standard library only. The command line (typer, rich) is in commands.py and is not imported from here.
"""

from .answer import Answer, gen_answers
from .build_log import Logged, gen_logged, read_build_log
from .chunking import gen_bounded_chunks, gen_chunks, gen_overlapping_chunks
from .citing import Citation
from .cleaning import clean, gen_clean_docs
from .dedup import near_dedup, structural_dedup
from .detecting import NotText
from .embedding import Embedder, EmbedderProblem, Vector, make_embedder
from .evaluating import Evaluation, Interval, Judged, Question, evaluate, gen_judged, ratio_of_means
from .filters import Filter
from .generating import LLM, Cited, LLMProblem, Words, gen_llm_answer, make_llm
from .index import Index, IndexBusy, IndexMismatch, IndexProblem, NoIndex, NotAnIndex
from .ingest import Event, Report, build_index, gen_ingest
from .known_items import KnownItem, known_items
from .loading import make_docs_source
from .pipeline import make_multi_rag_fn
from .quarantine import Quarantined
from .retrieve import Hit, QueryError, search
from .types import Chunk, ChunkWithoutEmbedding, CleanBlock, CleanDoc, RagEnv, RawDoc, TextStream
from .writer import Swept, sweep

__all__ = [
    "LLM",
    "Answer",
    "Chunk",
    "ChunkWithoutEmbedding",
    "Citation",
    "Cited",
    "CleanBlock",
    "CleanDoc",
    "Embedder",
    "EmbedderProblem",
    "Evaluation",
    "Event",
    "Filter",
    "Hit",
    "Index",
    "IndexBusy",
    "IndexMismatch",
    "IndexProblem",
    "Interval",
    "Judged",
    "KnownItem",
    "LLMProblem",
    "Logged",
    "NoIndex",
    "NotAnIndex",
    "NotText",
    "Quarantined",
    "QueryError",
    "Question",
    "RagEnv",
    "RawDoc",
    "Report",
    "Swept",
    "TextStream",
    "Vector",
    "Words",
    "build_index",
    "clean",
    "evaluate",
    "gen_answers",
    "gen_bounded_chunks",
    "gen_chunks",
    "gen_clean_docs",
    "gen_ingest",
    "gen_judged",
    "gen_llm_answer",
    "gen_logged",
    "gen_overlapping_chunks",
    "known_items",
    "make_docs_source",
    "make_embedder",
    "make_llm",
    "make_multi_rag_fn",
    "near_dedup",
    "ratio_of_means",
    "read_build_log",
    "search",
    "structural_dedup",
    "sweep",
]
