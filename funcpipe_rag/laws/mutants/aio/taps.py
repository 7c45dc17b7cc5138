"""What people write in place of looking at an async stream."""

from .passing import wrapped

wrapped("aprogress")
