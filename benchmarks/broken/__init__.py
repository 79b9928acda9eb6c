"""Files cut in every way, and odd but sound ones: which of them does kerastl take for sound?"""
