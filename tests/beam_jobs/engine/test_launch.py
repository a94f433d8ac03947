"""The launcher knows Beam's flags, and which of them mean that it does not wait."""

from __future__ import annotations

import pytest
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

from beam_jobs.engine import launch
from pipelines.errors import UsageError


def test_flags_of_all_option_classes_of_beam_are_accepted() -> None:
    flags = ["--runner=DataflowRunner", "--temp_location=gs://b/t", "--direct_num_workers=2"]
    launch.check_beam_args(flags, our_flags=[])


@pytest.mark.parametrize(
    ("flag", "nearest"),
    [("--run_dat", "--run_date"), ("--temp_locaton=x", "--temp_location")],
)
def test_a_misspelt_flag_is_refused_with_the_nearest_known_flag(flag: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"unknown argument '{flag}'; did you mean {nearest}"):
        launch.check_beam_args([flag], our_flags=["--run_date"])


def test_a_word_without_a_flag_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown argument 'stray'; see --help"):
        launch.check_beam_args(["stray"], our_flags=["--chips"])


def test_a_runner_is_local_unless_it_is_named_and_runs_elsewhere() -> None:
    assert launch.runs_locally([])
    assert launch.runs_locally(["--runner=DirectRunner"])
    assert not launch.runs_locally(["--runner=DataflowRunner"])


def test_a_run_on_prism_may_take_a_day_unless_another_limit_is_given() -> None:
    def limit(*given: str) -> int:
        options = PipelineOptions(launch.with_defaults(["--runner=PrismRunner", *given]))
        return int(options.view_as(PortableOptions).job_server_timeout)

    assert limit() == 24 * 60 * 60
    assert limit("--job_server_timeout=60") == 60


def test_a_job_that_is_stored_for_later_is_only_submitted() -> None:
    assert launch.only_submits(["--template_location=gs://bucket/template"])
    assert not launch.only_submits(["--temp_location=gs://bucket/temp"])
