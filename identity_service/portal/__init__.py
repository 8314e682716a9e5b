"""The pages at /me, where signed-in customers see and change their own data."""
