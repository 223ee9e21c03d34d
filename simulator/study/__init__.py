"""What notebooks and programs call, by the names of `simulator`: tables of jobs in, frames and figures out."""
