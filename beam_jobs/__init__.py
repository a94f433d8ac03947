"""What an operator runs: `python -m beam_jobs.NAME`, and what those commands share.

Every night
    score_chips: score an archive, publish the tables (`--estimate`: only say what that takes)
    query: ask the tables in SQL; bigquery: the same tables in BigQuery
    report: write a night's report anew

When something went wrong
    publish: finish a dead or held run; withdraw: take a published one back
    replay_quarantine: try quarantined chips again

Now and then
    relabel_chips: new thresholds on stored scores
    maintain: compaction, vacuum, retention
    flex_template: the job as a template of Dataflow

What they share
    options, drift_options, estimate_options, store_options, flag_types: the flags
    scoring_run, resuming, versions, summary: a run from chosen chips to published tables
    launch, interruptible, worker_processes, engine_log, source_package: the engine it runs on
    dataflow, dataflow_workers, accelerators, cloud_checks: Dataflow's flags made right
    estimate, prices, answers, command
"""
