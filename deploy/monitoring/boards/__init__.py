"""The dashboards, one module each."""

from typing import Final

from monitoring.boards import broker, collector, objectives, pipeline, providers, services, stages
from monitoring.queries import Json

BOARDS: Final[tuple[Json, ...]] = (
    pipeline.BOARD,
    stages.BOARD,
    providers.BOARD,
    broker.BOARD,
    collector.BOARD,
    services.BOARD,
    objectives.BOARD,
)
