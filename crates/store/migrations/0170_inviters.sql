-- Who made an invitation, where that was a person: it is good as long as they may invite.
ALTER TABLE invitations ADD COLUMN user_id TEXT;
