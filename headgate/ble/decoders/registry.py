"""Every profile that a site document may name; a new decoder is one more file and one line here."""

from __future__ import annotations

from headgate.ble.decoders import atc, brands, bthome, bthome1, eddystone, ess, ibeacon, ruuvi3, ruuvi5

_OURS = (
    bthome.PROFILE,
    bthome1.PROFILE,
    ruuvi5.PROFILE,
    ruuvi3.PROFILE,
    eddystone.PROFILE,
    ibeacon.PROFILE,
    atc.PROFILE,
    ess.PROFILE,
)
PROFILES = {**{profile.name: profile for profile in _OURS}, **brands.PROFILES}
"""By name; those of brands need a package that may not be installed (`Profile.package`)."""
