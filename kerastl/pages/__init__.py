"""What all pages that kerastl writes have in common: style, templates, pictures."""
