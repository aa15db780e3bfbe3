"""What does o10 look like in use? A company with a year of spend, made from one seed."""

import argparse
import contextlib
from collections.abc import Iterator
from datetime import date, datetime
from itertools import batched
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
