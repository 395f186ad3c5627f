"""Settings that a signed limit bundle lays over site.json: which may be, which hold, how far they are proved.

Asked while booting, and only on a board that was ever sent one. It refuses a bundle that the checks of
site.json find fault with, one the controller does not live with, and one whose site.json was changed at the
device since: who stands in front of it has the last word. It never writes site.json.
"""

import hashlib

from .limits_record import FILES, LONGEST_TEXT, Limits, site_digest

# Starts that do not live PROVED_S, power cuts among them. One less than an image gets: it is not to blame.
TRIES = 2
CONTENT, FLASH, SETTINGS = 5, 6, 10  # why one was given up, as registers.UPDATE_CAUSES counts

# Neither wiring nor tuning, neither keys nor network; and nothing that protects people or pumps by itself:
# frost, scald limit, DHW floor, legionella and dry-run protection change at the device alone (S5).
# One text, a blank around each: sixty names of their own would stay in the interpreter's table for ever.
NAMES = (
    " deficit_budget_kh curve_points curve2_points curve_slope curve2_slope return_limit_points"
    " flow_limit_points heat_limit_points schedule schedule2 dhw_schedule circulation_schedule"
    " holidays utc_offset_min summer_time curve_cold_outdoor_temp_c curve_cold_supply_temp_c"
    " curve_warm_outdoor_temp_c curve_warm_supply_temp_c supply_temp_minimum_c supply_temp_maximum_c"
    " contract_flow_limit_m3_h return_limit_temp_c curve_shift_minimum_k curve_shift_maximum_k"
    " curve_setback_k summer_outdoor_temp_c room_comfort_temp_c room_influence_pct"
    " room_shift_maximum_k room_adaptation_maximum_k optimum_start_maximum_s optimum_stop_maximum_s"
    " curve2_cold_outdoor_temp_c curve2_cold_supply_temp_c curve2_warm_outdoor_temp_c"
    " curve2_warm_supply_temp_c supply2_temp_minimum_c supply2_temp_maximum_c curve2_setback_k"
    " summer2_outdoor_temp_c room2_comfort_temp_c room2_influence_pct room2_shift_maximum_k"
    " room2_adaptation_maximum_k optimum2_start_maximum_s optimum2_stop_maximum_s"
    " contract_heat_limit_kw return_difference_limit_k capacity_heat_limit_kw capacity_window_s"
    " dhw_comfort_temp_c dhw_setback_temp_c dhw_return_limit_temp_c dhw_heating_setback_k"
    " dhw_priority_maximum_s own_plant_dp_bar plant_dp_minimum_bar plant_dp_maximum_bar"
    " plant_supply_temp_minimum_c plant_supply_temp_maximum_c plant_curve_cold_outdoor_temp_c"
    " plant_curve_cold_supply_temp_c plant_curve_warm_outdoor_temp_c plant_curve_warm_supply_temp_c"
    " index_dp_own_bar "
)


def settings_of(text):
    """Return the settings in a signed text. ValueError with what is wrong with it."""
    import json

    content = json.loads(text.split("\n", 3)[3])
    if not isinstance(content, dict) or not content:
        raise ValueError("has no settings")
    for name in content:
        if " " in name or " %s " % name not in NAMES:
            raise ValueError("%s may not be set by a bundle" % name)
    return content


def laid_over(content, settings):
    """Return site.json's content with the bundle's settings in place of its own; null takes one away."""
    merged = dict(content)
    for name, value in settings.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def _settings_in(file, digest):
    """Return the settings in a file, None where it is not the one that was verified.

    ValueError where it carries what no bundle may: it was signed, and is still refused.
    """
    try:
        with open(FILES[file], "rb") as kept:
            whole = kept.read(LONGEST_TEXT + 65)
    except OSError:
        return None
    return settings_of(whole[:-64].decode()) if hashlib.sha256(whole).digest() == digest else None


def settle(persistence, content, make):
    """Return the Site in force; its `limits`: version of the bundle, on trial, why one was given up.

    make(content) checks settings as those of site.json.
    """
    limits = Limits(persistence)
    base = site_digest()
    if limits.tried:
        site = _tried(limits, base, content, make)
        if site is not None:
            return site
    active = limits.active
    if not active or limits.base[active] != base:
        site = make(content)
        site.limits = (0, False, limits.cause)
        return site
    for file in (active, limits.spare()):
        try:
            settings = _settings_in(file, limits.digest[file]) if limits.base[file] == base else None
        except ValueError:  # a program that allows less than the one before
            settings = None
        if settings is not None and limits.version[file] <= limits.floor:
            site = make(laid_over(content, settings))
            site.limits = (limits.version[file], False, limits.cause)
            if file != active:
                site.mistakes.append(("limits", "the bundle in force is damaged; the one before holds"))
            return site
    site = make(content)
    site.mistakes.append(("limits", "both bundles are damaged; site.json alone holds. Send the bundle again"))
    return site


def _tried(limits, base, content, make):
    """Return the Site with the bundle that is being tried, or None where it is given up."""
    file = limits.tried
    cause = SETTINGS
    if limits.base[file] != base:
        print("limits: site.json was changed at the device")
    elif limits.tries >= TRIES:
        print("limits: version %d does not live; what held before holds" % limits.version[file])
    else:
        try:
            settings = _settings_in(file, limits.digest[file])
            site = None if settings is None else make(laid_over(content, settings))
            fault = site.mistakes[0] if site is not None and site.mistakes else None
        except ValueError as error:
            site, fault = None, ("settings", error)
        if fault is not None:
            print("limits: version %d is refused: %s: %s" % ((limits.version[file],) + fault))
        elif site is None:
            cause = CONTENT
        else:
            limits.tries += 1
            if limits.save():
                site.limits = (limits.version[file], True, 0)
                return site
            cause = FLASH  # what cannot be counted is not tried
    limits.give_up(cause)
    return None
