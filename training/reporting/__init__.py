"""Parts of `training.report`: evaluation results as text, tables and plots."""
