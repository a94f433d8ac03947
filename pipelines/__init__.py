"""Reusable transforms of the scoring job, each thin over plain functions. The modules as they meet
a chip on its way; `batch_scoring` is the whole story on one page.

The graph
    batch_scoring, elements (what flows through it), progress (what it counts)

Plan: from an archive to a run's manifest
    archive, shards, tar_index, kept_indexes: what is there
    manifests, sidecar, given_tables, given_faults: what is given
    selection, failing_again: what is left to do
    planning, attempts: the plan, and going on with one
    trial: what it would take

Read and decode: from addresses to pixels
    reading, chip_bytes, pixel_budget
    imaging, jpeg, tiff, tiff_directory, georeference: from bytes to pixels, for training, too

Score and label: from pixels to rows
    scoring, classifier, artifact_cache, model_sharing
    devices, gpu_model, tuning: what a device does best
    labelling

Stage and publish: from rows to tables
    staging, publishing, counting, rivals, committing, records, delta_tables

Watch: what to think of a night
    watching, nights, drift, verdicts, run_rows
    reporting, report_facts, report_page, report_charts, report_html, thumbnails
    run_log

Afterwards: changes to what is published
    withdrawing, replacing
    relabelling, relabel_planning, copies, threshold_files
    housekeeping, retention

Ground: what all of them stand on
    storage, local_files, object_store, object_listing, client_listing, objects, globs,
    s3_endpoint, request_rate, storage_errors: objects by address
    errors, worker_settings, wording
"""
