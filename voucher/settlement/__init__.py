"""Settlement: who is paid for redeemed vouchers and approved claims, with which evidence, and how it is taken back."""
