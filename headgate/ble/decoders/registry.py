"""Every profile that a site document may name; a new decoder is one more file and one line here."""

from __future__ import annotations

from headgate.ble.decoders import bthome, ess, ruuvi5

PROFILES = {profile.name: profile for profile in (bthome.PROFILE, ruuvi5.PROFILE, ess.PROFILE)}
