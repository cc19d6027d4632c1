"""Pure text and code analysis: no files, no network, no processes, no clocks."""
