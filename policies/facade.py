"""Which names of spend control may other apps and the doors use?"""

from policies.models import APPEND_ONLY, MUTABLE

__all__ = ["APPEND_ONLY", "MUTABLE"]
