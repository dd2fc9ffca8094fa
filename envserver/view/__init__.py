"""One episode as one HTML page that plays it back, with nothing outside of it: no server, no network, no other file.

**Everything that an episode holds is hostile**: policies and pages wrote it. It goes into one block of JSON in which no
character can end the block (`page.encode`), and the page's script puts it on the screen as text alone, under a policy
(Content-Security-Policy) that lets no other script run, no address be asked and no markup be made of a text. A picture
is shown once its bytes have been decoded and begin like what they are said to be (`pictures`).

**Memory holds one step**: the record is taken apart while it comes (`reading`), each step is laid out (`frames`) and
written (`page`). What a page may hold is bounded (`room`); what is left out is counted and told in the page.

What is shown of a step is decided here rather than in the page's script, which draws sections and knows no environment.
"""
