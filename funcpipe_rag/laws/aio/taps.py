"""The laws of looking at an async stream without touching it."""

from __future__ import annotations

from funcpipe_rag.laws.inputs import choice

from .passing import laws_of_passing

laws_of_passing("aprogress", {"total": choice(None, 3)}, lambda aprogress, total: aprogress(total=total))
