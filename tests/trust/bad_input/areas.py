"""The areas of the catalogue, by name."""

from tests.trust.bad_input import (
    commands,
    configs,
    contracts,
    datasets,
    disclosure,
    excess,
    folders,
    hostile_text,
    others_folders,
    plugins,
    processes,
    received,
    senseless,
    surroundings,
    swelling,
    values,
)
from tests.trust.bad_input.case import Case

AREAS: dict[str, list[Case]] = {
    "configs": configs.CASES,
    "commands": commands.CASES,
    "values": values.CASES,
    "plugins": plugins.CASES,
    "contracts": contracts.CASES,
    "datasets": datasets.CASES,
    "disclosure": disclosure.CASES,
    "excess": excess.CASES,
    "folders": folders.CASES,
    "hostile_text": hostile_text.CASES,
    "others_folders": others_folders.CASES,
    "processes": processes.CASES,
    "received": received.CASES,
    "senseless": senseless.CASES,
    "surroundings": surroundings.CASES,
    "swelling": swelling.CASES,
}
