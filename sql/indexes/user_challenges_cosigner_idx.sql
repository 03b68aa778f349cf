-- Rule cs asks how many remixes an artist has co-signed lately. The artist is only in the
-- specifier; the row's user is the one who is paid.
create index concurrently if not exists user_challenges_cosigner_idx
  on public.user_challenges (split_part(specifier, ':', 1)) where challenge_id = 'cs'
