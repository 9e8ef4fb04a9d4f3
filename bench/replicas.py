"""What a second relay costs and brings: CPU per webhook, waits for locks, throughput, and the plan of the due query."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import yaml

from bench.load import TOKEN, steady, webhook
from bench.scenarios import HOST, Row
from bench.servers import ROOT
from relay.store.database import Connection, Database
from relay.store.postgres import PostgresEngine
from tests.programs import find_postgres
from tests.servers import PostgresCluster

COUNT = 2000
CONNECTIONS = 32
CLOSED = 100_000
DUE = 50
LONGEST_LOCK = 10
"""Milliseconds."""
