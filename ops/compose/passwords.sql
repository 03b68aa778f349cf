-- The demo's passwords, which are in docker-compose.yml, too. Yours come from elsewhere.
alter role tidemark_run password 'demo';
alter role tidemark_migrate password 'demo';
