"""How the gateway scales: one module for each question, each with a table and a plot."""
