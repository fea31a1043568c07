"""Reports as one HTML file each, without scripts and without the network: pages, plots and sheets of pictures."""
