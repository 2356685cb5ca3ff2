"""The collection: models fetched, checked, converted, quantised, and their licences known."""
