"""The only place that runs, writes, signals or asks the kernel; synchronous."""
