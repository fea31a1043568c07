"""Reports as single HTML files without scripts or network access: pages, plots and sheets of pictures."""
