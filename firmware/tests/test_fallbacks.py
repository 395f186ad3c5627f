"""The fallback table: one row for each input of both profiles, each with a test that loses that sensor."""

import pytest

from firmware import function_tables
from firmware.substation import site, site_functions

ROWS = {(profile, name): (reaction, source) for profile, name, reaction, source in function_tables.FALLBACKS}


def inputs_of(profile):
    standard = site.SUBSTATION_INPUTS if profile == "substation" else site.PUMP_STATION_INPUTS
    return [row[0] for row in standard] + list(site_functions.MORE_INPUTS[profile])


def test_s1_every_input_has_one_row_and_every_row_an_input():
    wanted = [(profile, name) for profile in ("substation", "pump_station") for name in inputs_of(profile)]
    assert sorted(ROWS) == sorted(wanted)
    assert len(ROWS) == len(function_tables.FALLBACKS)


@pytest.mark.parametrize(("profile", "name"), sorted(ROWS))
def test_every_row_tells_what_is_done_and_by_whose_word(profile, name):
    reaction, source = ROWS[profile, name]
    assert reaction
    assert source
