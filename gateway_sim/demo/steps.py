"""The demo's steps, in the order they are told."""

from __future__ import annotations

from gateway_sim.demo import asked, fetched
from gateway_sim.demo.story import Step, Story

STEPS = (
    Step("telemetry", "Telemetry: registers and radio to the cloud", Story.telemetry),
    Step("windows", "Windows: recomputed by other code", Story.windows),
    Step("job_read", "A job reads registers and a characteristic", asked.job_read),
    Step("direct_read", "The direct topic reads again", asked.direct_read),
    Step("written", "A set point is written, what may not be is not", asked.written),
    Step("broker_reset", "Broker cut by reset", Story.broker_reset),
    Step("history", "History of the last 30 s", asked.history),
    Step("file_fetched", "A large file, its sender killed", fetched.file_fetched),
    Step("refused", "What is too late or outside is refused", asked.refused),
    Step("broker_silence", "Broker cut by silence", Story.broker_silence),
    Step("hub_killed", "Hub killed with -9 under load", Story.hub_killed),
    Step("nucleus_restarted", "Nucleus restarted", Story.nucleus_restarted),
)
