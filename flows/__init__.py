"""What happens, in order. Whoever runs a flow logs no secret."""

from tasks.contracts.log_mask import mask_logs

mask_logs()
